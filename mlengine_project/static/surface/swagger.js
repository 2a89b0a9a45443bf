"use strict";
const place = document.getElementById("swagger");
SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  // A validator badge would be an image from another host.
  validatorUrl: null,
  persistAuthorization: false,
  tryItOutEnabled: true,
});
