"""What runs: experts, their runners, media values, artifacts and the fleet."""
