"""What several subcommands share: arguments, which run is meant, what is printed."""
