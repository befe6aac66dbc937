"""Group-wise int4 and int8 weights: formats, rounding, and the products that read them."""
