"""The git server: history and work trees of the policy's repositories, with nothing lost and nothing run."""
