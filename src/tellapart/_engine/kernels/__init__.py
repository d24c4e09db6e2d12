"""What computes a block of the score matrix: the interface, and one kernel a kind of device."""
