# Lets `.venv/bin/flask …` find the application.
FLASK_APP=chatbot
