"""Real servers and real data for the demo. The tests start their servers with the same code."""
