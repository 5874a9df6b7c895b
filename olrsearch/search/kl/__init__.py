"""Search by KL divergence: an exact scan, and proposals for large galleries."""
