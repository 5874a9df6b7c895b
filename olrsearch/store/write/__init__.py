"""What a writer may change, under the lock."""
