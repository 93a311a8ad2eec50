"""Everything two processes, or a process and a client, must agree on."""
