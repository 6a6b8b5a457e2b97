"""What leaves: personal rows after their retention, versions nobody needs, leads that must be forgotten."""
