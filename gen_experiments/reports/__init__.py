"""What a person reads of runs: pages made from their folders alone."""
