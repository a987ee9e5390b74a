"""The server's half of a run: enrolment of the sites, and the session that leads the methods."""
