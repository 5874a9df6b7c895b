"""The folder an encoder is kept in: weights, configuration, model card, what travels with it."""
