'use client';
import { useEffect, useState } from 'react';

// The deployment whose scripts run in the browser.
export function Clock() {
  const [running, setRunning] = useState('');
  useEffect(() => setRunning(process.env.DEPLOYMENT), []);
  return <footer data-testid="running">{running}</footer>;
}
