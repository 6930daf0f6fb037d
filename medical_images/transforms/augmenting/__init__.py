"""How layers and functions change images, masks and boxes by stateless seeds."""
