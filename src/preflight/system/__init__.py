"""The world as it is: probes that gather facts and know no severity."""
