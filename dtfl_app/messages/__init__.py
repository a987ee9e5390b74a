"""What travels between server and sites: how it is packed, what it may hold, how it is checked."""
