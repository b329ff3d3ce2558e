"""What tests share: trivial experts and the cluster they run on."""
