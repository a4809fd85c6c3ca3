"""A small network for images of 8 x 8 pixels."""

from torch import Tensor, nn


class DigitNet(nn.Module):
    """Two hidden layers with dropout."""

    def __init__(self, hidden: int, dropout: float, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(8 * 8, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit a class for each image."""
        logits: Tensor = self.layers(images)
        return logits
