"""What is kept of requests, and the labels that come for them later: sampled, bounded, and never waited for."""
