"""A run or a benchmark as one HTML page that needs nothing but a browser."""
