"""`make bench`: times beside what a user would run instead, as ratios of one run."""
