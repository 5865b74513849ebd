// SPDX-License-Identifier: Apache-2.0

// A Node https server: tls.js CERTIFICATE KEY prints its port and serves until standard input ends.
const fs = require("fs");
const server = require("https").createServer(
	{cert: fs.readFileSync(process.argv[2]), key: fs.readFileSync(process.argv[3])},
	// Not before all of the request is there: an answer in the middle of an upload ends the turn.
	(request, response) => { request.resume(); request.on("end", () => response.end("ok")); });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
