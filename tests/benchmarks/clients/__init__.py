"""Programs that fetch the release over REST, each as a process of its own."""
