"""How the installation fares, for its operator: the machine and its stores, the work under way, the models' answers, and
what of it needs a hand now. No tenant's words, and nobody is asked over the network but the database and Redis."""
