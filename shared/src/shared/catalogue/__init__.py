"""The models of the paid providers: what they render, and what that costs. Data files, and rules without I/O."""
