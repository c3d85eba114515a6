"""What the commands print: tables and a live display. Imports the root modules, and the rest for types only."""
