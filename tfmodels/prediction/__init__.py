"""How trained networks classify images of one's own."""
