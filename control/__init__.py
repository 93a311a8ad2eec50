"""The control process: decides what every worker serves, and supervises the rest."""
