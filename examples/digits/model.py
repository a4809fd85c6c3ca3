"""A convolutional network for images of 8 x 8 pixels."""

from torch import Tensor, nn


class DigitNet(nn.Module):
    """Two convolutions, dropout, one linear layer."""

    def __init__(self, channels: int, dropout: float, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels * 4 * 4, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit a class for each image."""
        logits: Tensor = self.layers(images)
        return logits
