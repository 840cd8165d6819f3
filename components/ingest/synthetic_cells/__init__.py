"""What a synthetic sample is drawn with: one module for each thing that is drawn."""
