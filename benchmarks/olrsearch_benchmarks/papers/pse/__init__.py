"""P5 of paper 003: PSE and the models it is compared with, on MNIST and Fashion-MNIST."""
