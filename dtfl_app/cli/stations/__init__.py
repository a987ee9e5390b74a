"""Pumping stations to begin with: simulated by a page of physics, written as historians export."""
