"""The files server: read, search, write, move and softly delete files within the policy's roots."""
