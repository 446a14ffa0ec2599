// A web server that ends well: on SIGTERM it takes no new connections and finishes what it has begun.
"use strict";
const http = require("node:http");

const name = process.env.PS || "server";

const server = http.createServer((request, response) => {
  const slow = request.url.match(/^\/slow\/(\d+)$/);
  if (slow) {
    setTimeout(() => response.end(`slept in ${name}\n`), Number(slow[1]));
  } else if (request.url === "/health") {
    response.end("ok\n");
  } else {
    response.end(`${process.env.GREETING} from ${name}\n`);
  }
});

server.listen(Number(process.env.PORT), "127.0.0.1", () => {
  console.log(`listening on ${server.address().port}`);
});

let ending = false;
process.on("SIGTERM", () => { // not once(): without a handler a second TERM would end it in the midst of a request
  if (ending) return;
  ending = true;
  console.log("finishing");
  server.close(() => process.exit(0));
  server.closeIdleConnections(); // the keep-alive connections on which nothing is under way
});
