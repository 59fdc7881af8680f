"""What the pipeline needs from the outside, in the domain's verbs."""
