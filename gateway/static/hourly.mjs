// The 重症护理记录单.
import { openSheets } from "/sheets.mjs";

openSheets("hourly");
