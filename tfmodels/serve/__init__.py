"""A page in the browser to try networks with images of one's own."""
