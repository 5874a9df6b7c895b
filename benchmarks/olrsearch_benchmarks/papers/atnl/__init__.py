"""P5 of paper 002: its two tables on MNIST, and few examples of face labels."""
