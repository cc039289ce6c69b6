"""What a freeze costs and saves, in words."""
