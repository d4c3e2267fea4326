"""Models of a family from its alignment alone, and the scores they give."""
