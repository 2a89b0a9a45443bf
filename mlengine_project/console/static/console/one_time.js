// Submits the form; without scripts the user presses the button.
document.getElementById("one-time")?.requestSubmit();
