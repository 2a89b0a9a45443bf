"""Texts of other apps that pages show; listed here so that they are translated."""

from django.utils.translation import gettext_noop

TEXTS = (
    gettext_noop("Buy"),
    gettext_noop("Sell"),
    gettext_noop("Hold"),
    gettext_noop("buy"),
    gettext_noop("sell"),
    gettext_noop("Take-profit"),
    gettext_noop("Stop-loss"),
    gettext_noop("Timeout"),
    gettext_noop("Void"),
    gettext_noop("Range predictor"),
    gettext_noop("TP/SL classifier"),
    gettext_noop("Signal classifier"),
    gettext_noop("trend"),
    gettext_noop("momentum"),
    gettext_noop("volatility"),
    gettext_noop("volume"),
    gettext_noop("an operator switched signals off"),
    gettext_noop("this market is switched off"),
    gettext_noop("no active model covers this market"),
    gettext_noop("the active model was trained too long ago"),
    gettext_noop("not enough history yet"),
    gettext_noop("candles are missing in the input window of the models"),
    gettext_noop("the newest candle is too old"),
    gettext_noop("the candle was processed after its prediction would have expired"),
    gettext_noop("the market is unlike the training set"),
    gettext_noop("the models contradict each other"),
    gettext_noop("the predicted range is too wide to act on"),
    gettext_noop("no bracket is certain enough to return more than its costs"),
)
