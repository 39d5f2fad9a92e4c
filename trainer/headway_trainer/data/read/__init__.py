"""From bytes to typed content: each format's reader, and how what a file leaves open is told from it."""
