"""What things cost, beside peers and beside the raw driver, as ratios of one run."""
