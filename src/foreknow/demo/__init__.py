"""Demo: data and projects to try the product on."""
