"""What measures Shaman: a simulated model, a bare relay, a load driver and the table they fill."""
