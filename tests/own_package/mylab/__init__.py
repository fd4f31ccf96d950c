"""Parts that somebody has in a package of their own."""
