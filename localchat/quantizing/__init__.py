"""From weights in full precision to a quantized model that stays close to them; the methods are those of `quant`."""
