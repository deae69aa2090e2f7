// Says that the token was wrong; the form works without this.
document.getElementById("wrong").hidden = !location.search.includes("wrong");
