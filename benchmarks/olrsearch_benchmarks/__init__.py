"""What measures olrsearch and is not for its users: P5 to P7, and the papers' figures."""
