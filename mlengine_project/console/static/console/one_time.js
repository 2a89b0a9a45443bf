// Presses the button for the reader; without scripts they press it themselves.
document.getElementById("one-time")?.requestSubmit();
