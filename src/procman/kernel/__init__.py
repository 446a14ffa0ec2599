"""The kernel acts. The only room that forks, kills, waits, or reads a child's output."""
