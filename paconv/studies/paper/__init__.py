"""The paper's Tables 2, 7 and 8: what it prints, and what the rules of paconv.cost give for its networks."""
